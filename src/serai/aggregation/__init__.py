"""Sum without seeing: ring, codec, masks that cancel, rounds, audit."""

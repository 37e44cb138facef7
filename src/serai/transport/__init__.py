"""How a member speaks to the center: the port, signed HTTP requests, problem documents, the client."""

"""What a member's people do through their own zone, as a library: say, plan, ask. The command line stands on it."""

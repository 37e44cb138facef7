"""Members and their keys, the articles they decide by, proposals, ballots and agreements."""

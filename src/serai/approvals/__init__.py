"""What a steward approves: the code, the terms and the participants of a run beside those it approved before."""

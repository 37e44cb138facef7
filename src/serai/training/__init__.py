"""Joint training: what a run is, who takes part, and methods whose every round is one sum."""

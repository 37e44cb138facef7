"""What the members set out to do: a plan with owners, dates and indicators, and what the log shows of it."""

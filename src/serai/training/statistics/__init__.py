"""What a statistic is asked: its settings, read alike by the recipe that sums and by the result that follows."""

"""Parts of tree recipes: bin edges, histograms, growing a level, and the trees themselves."""

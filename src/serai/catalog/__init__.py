"""What members offer, as a catalog: records out of the log, a search over them, and the forms that other catalogs read."""

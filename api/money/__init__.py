"""What calls cost and whether the bill is right: charges, bills, reconciliations, re-ratings, closed periods."""

"""What may be done with a member's data: offers, grants, terms, and the guard that checks them before anything runs."""

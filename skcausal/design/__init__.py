"""Which experiment next."""

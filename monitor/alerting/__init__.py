"""What people are told: episodes of entities, and what becomes of them."""

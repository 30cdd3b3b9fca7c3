"""How a trained task is scored: quickly after an epoch, and fully for a record."""

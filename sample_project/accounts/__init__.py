"""Users, their registration and the welcome e-mail."""

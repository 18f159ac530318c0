"""What an attacker learns of clients from what it sees."""

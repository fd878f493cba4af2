"""What providers say of an account's money: call records, ledger lines, balances, read from any file's columns."""

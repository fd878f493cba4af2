"""Numbers out of the tables: measures become SQL, questions become answers, and every answer says which calls are in it."""

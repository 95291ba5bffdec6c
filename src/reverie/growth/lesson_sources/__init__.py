"""Where lessons come from: a teacher, documents in memory, a file, a program, and a toy; ``opening.py`` knows them."""

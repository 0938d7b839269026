"""The routes for clients and for the application; `table.py` lists all of them."""

"""The call explorer: what a query asks for, the calls that it finds, and what is to be seen of one call or of many."""

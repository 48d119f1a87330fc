"""The dashboards' pages: each is a function from what is asked to what its template shows, and some charts."""

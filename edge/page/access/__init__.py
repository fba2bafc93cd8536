"""Who may see and do what on the page: users, sessions, and the checks of every request."""

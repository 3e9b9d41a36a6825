"""Stand-ins for the systems around Loonstroom, as processes on real sockets. They share no code with app."""

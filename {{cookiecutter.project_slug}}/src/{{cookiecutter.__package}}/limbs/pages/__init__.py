"""The portfolio page: the story of the project and a recorded demo, which need no server."""

"""The app: a prompt, the dial, and what it does to the picture, in a browser on this machine."""

"""What the service does unless its operator says otherwise; plain numbers, for help texts to have them at no cost."""

HOST, PORT = "127.0.0.1", 8000
STEPS, MIN_STEPS, MAX_STEPS = 25, 8, 50
GUIDANCE_SCALE, MAX_GUIDANCE_SCALE = 5.0, 20.0
MAX_N = 4
MAX_BATCH, MAX_WAIT, MAX_QUEUE = 8, 0.01, 64
TIMEOUT, DRAIN, READ_TIMEOUT = 120.0, 30.0, 10.0
MAX_CONNECTIONS, MAX_UPLOAD = 512, 16_000_000

"""TensorFlow Playground: its data draws, its sets with their truth, its addresses. Nothing here trains."""

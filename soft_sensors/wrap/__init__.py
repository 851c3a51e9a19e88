"""any ONNX regressor + samples it has not seen -> a bundle like a calibrated one: card, limits, interval, evidence."""

"""laboratory results: files and requests -> records -> what the cycle takes in, each once."""

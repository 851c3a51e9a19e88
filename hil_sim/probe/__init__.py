"""composition -> spectrum: what an analyser in the feed frame would see."""

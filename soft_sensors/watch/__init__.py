"""predictions + late laboratory results + standards -> may this soft sensor still be trusted?"""

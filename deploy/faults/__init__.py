"""real packets between two namespaces, faults on the way -> does the loop keep its period, its state, its size?"""

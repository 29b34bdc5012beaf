"""What each event of the logs does to the graph. Pure: the same log gives the same graph, whenever it is replayed.

Properties that two streams write to one node have different names, so that the order between streams never matters.
"""

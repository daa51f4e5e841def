"""NetworkPolicy on the bed: who may open which connection to and from a Pod, kept by iptables in each node's network.

`selectors` reads labels, `plan` decides from what the API server shows which connections each Pod may have, `chains`
writes them down for iptables, and `__main__` is the background process that joins them. As everywhere, a kubelet
reaches the Pods of its own node whatever a policy says, connections that exist go on, and what is not allowed is
answered by silence. A Pod is guarded from the moment the API server shows its address.
"""

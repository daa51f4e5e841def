"""What talks to the Kubernetes API server.

`wire` is the contract of a transport, `transport` (kubernetes_asyncio) and `lean` (bare aiohttp) are its two bodies,
`client` the verbs, `informer` a local copy of a list that follows the server, `workqueue` and `controller` what turns
changed keys into reconciles, `lease` leader election, `events` Kubernetes Events.
Objects are raw JSON dicts as the server sent them, without managedFields, and must not be modified by readers.
"""

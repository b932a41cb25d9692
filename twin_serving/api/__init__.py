"""HTTP: routes, who may do what, errors, the API's description, the composer as an MCP tool. What they do lies
elsewhere.
"""

"""The page people use: Streamlit, charts, browser components.

Belongs here: what is shown and asked. Speaks only HTTP, to the serving API and to Dagster's GraphQL.
Does not belong here: reading the lake, the index or models; anything that imports dagster or torch.
"""

"""A new plugin's package, made from templates: what ``ssl-host plugin new`` writes."""

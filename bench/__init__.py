"""The benchmark: the runtime against stock kombu, in runs that alternate. See README.md beside this."""

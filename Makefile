# For who types make: everything is done by ./run.
COMMANDS := demo serve worker migrate doctor check test bench lock

.PHONY: help $(COMMANDS)

help:
	@./run help

$(COMMANDS):
	@./run $@ $(ARGS)

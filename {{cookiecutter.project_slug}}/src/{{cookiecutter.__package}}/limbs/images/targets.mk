image: .venv/ready ## the champion's API as a container image; TARGET=train for the environment
	@$(RUN) image $(if $(TARGET),--target $(TARGET)) $(if $(BASE),--base $(BASE))
.PHONY: image

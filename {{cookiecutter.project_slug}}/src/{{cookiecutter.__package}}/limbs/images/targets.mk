##@ serving
image: .venv/ready ## the champion's API as a container image; TARGET=train for the environment BASE=python:3.13-slim
	@$(RUN) image $(if $(TARGET),--target $(TARGET)) $(if $(BASE),--base $(BASE))
.PHONY: image

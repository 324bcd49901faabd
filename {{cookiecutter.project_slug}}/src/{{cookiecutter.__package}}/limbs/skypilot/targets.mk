##@ renting
sky: .venv/ready ### SkyPilot's own command; ASK="jobs queue", "check", ...
	@$(RUN) sky $(if $(ASK),--ask "$(ASK)")
.PHONY: sky

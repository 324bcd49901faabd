##@ models
report: .venv/ready ## results, picture and screenshot into README.md; SHOT=1 takes the screenshot anew
	@$(RUN) report $(if $(SHOT),--shot)
.PHONY: report

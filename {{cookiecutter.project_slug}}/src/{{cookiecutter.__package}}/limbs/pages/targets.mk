##@ models
pages: .venv/ready ## the portfolio page for GitHub Pages into site/; CHECK=1 says whether it shows the champion
	@$(RUN) pages $(if $(CHECK),--check)
.PHONY: pages

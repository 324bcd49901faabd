data: .venv/ready ## your own data: SOURCE=file, folder, address TARGET=column
	@$(RUN) data $(if $(SOURCE),--source "$(SOURCE)") $(if $(TARGET),--target "$(TARGET)") \
		$(if $(QUERY),--query "$(QUERY)") $(if $(LICENCE),--licence "$(LICENCE)") $(if $(FRESH),--fresh)
.PHONY: data

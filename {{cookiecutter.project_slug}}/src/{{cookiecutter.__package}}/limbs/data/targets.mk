##@ data
# SOURCE as it was written: a ${NAME} in it is for the program, not for make.
data: .venv/ready ## your own data: SOURCE=houses.csv TARGET=price; SOURCE=file, folder, address, bucket, database QUERY='select ...' LICENCE=CC-BY-4.0 FRESH=1
	@$(RUN) data $(if $(SOURCE),--source '$(value SOURCE)') $(if $(TARGET),--target "$(TARGET)") \
		$(if $(QUERY),--query "$$QUERY") $(if $(LICENCE),--licence "$$LICENCE") $(if $(FRESH),--fresh)
.PHONY: data

collect: .venv/ready ### bring in what is new at the recorded sources; SOURCE=... for one QUERY= LICENCE=
	@$(RUN) collect $(if $(SOURCE),--source '$(value SOURCE)') $(if $(QUERY),--query "$$QUERY") $(if $(LICENCE),--licence "$$LICENCE")
.PHONY: collect

class Query:
    def where(self):
        return self

    def limit(self):
        return self


class Small(Query):
    def run(self):
        return self.where()


Small().where().limit().run()

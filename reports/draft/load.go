package draft

// Default are the templates that come with the gateway.
func Default() *Templates {
	return &Templates{templates: []template{{Name: "colonoscopy"}}, languages: []language{{Name: "en"}}}
}
